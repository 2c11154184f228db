"""Made by scripts/hidden-characters from the data of Unicode, with the rules of
scripts/hidden.py. Do not edit it.

Both are what stands between the brackets of a character class of `re`.
"""

HIDDEN = (
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f-\u1160"
    "\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164"
    "\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f"
    "\U00016fe4\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
PICTURES = (
    "\u00a9-\u00ac\u00ae\u203c-\u205f\u2070-\u27ff\u2801-\u2b55\u3030-\u303d"
    "\u3297-\u3299\U0001f004-\U0001fffd"
)
