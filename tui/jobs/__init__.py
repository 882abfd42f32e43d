"""The list of jobs: what is known of them, how a row reads, the table, its filters."""
