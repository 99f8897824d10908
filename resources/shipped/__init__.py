"""Scripts that a model bundle carries. They run with public libraries alone, so they import nothing of this project."""
