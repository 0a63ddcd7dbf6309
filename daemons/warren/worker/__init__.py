"""The worker: takes tasks from its queues and runs them, as far as their quotas allow."""
