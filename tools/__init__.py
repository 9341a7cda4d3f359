"""The project's own tools: the specification's lint, generators and the runner of all checks."""
