"""The command ``medsr``: one module per verb, each a thin call into the library."""
