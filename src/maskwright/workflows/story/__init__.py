"""What the report tells, gathered from the run folder: the last reader of every stage's files."""
