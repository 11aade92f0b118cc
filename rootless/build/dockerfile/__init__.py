"""Reading Dockerfiles: source text to typed instructions, variables, ignore files, lint. Pure functions: no file is opened here."""
