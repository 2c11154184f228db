"""`bus guard`: a git hook that keeps a commit from changing what others work on.

`hook_file` puts it into a repository and takes it out, `commit` is what it does.
"""
