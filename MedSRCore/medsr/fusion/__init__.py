"""Several thick stacks of one sitting into one isotropic volume."""
