"""Is the detail that a super-resolution added there? Another series of the same patient tells, place by place."""
