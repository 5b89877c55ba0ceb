"""Takes frames and runs, gives text to print or to keep; one module a kind of output."""
