"""The command line `rl`: one verb a file under `cli.commands`, loaded only when called."""
