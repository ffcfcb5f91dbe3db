"""Many jobs, one by one or side by side on a cluster: what `medsr augment` and `medsr upscale` of many share."""
