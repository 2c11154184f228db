"""What ClaudeMail has on a machine, and what it becomes here: `bus import claudemail`.

Here: reading its configuration and its folders of mail. Not here: parsing front matter, which the
hub does, and the words that a person is shown, which are the command's.
"""
