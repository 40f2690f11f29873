"""What the keys do."""

KEYS = (
    ("Up, Down, j, k", "move in the list, and scroll what has the keyboard"),
    ("Left, Right", "scroll the list sideways; go from tab to tab when the tabs have the keyboard"),
    ("Enter", "open the request under the cursor; press the button that has the keyboard"),
    ("Tab, Shift+Tab", "give the keyboard to the next part of the screen, or the one before"),
    ("1 to 7", "Basic Info, Profile, Extensions, DN, Approvals, Download, Revocation"),
    ("a, d", "approve, deny: shows what would be signed, and asks"),
    ("e", "edit the four parts: a form, then what would be signed; you don't count as an approver then"),
    ("Space", "mark the request under the cursor, or take its mark away: a and d are for all marked ones, then"),
    ("Ctrl+S", "in a question: sign; in the form: go on"),
    ("Escape", "leave a question; take away the filter, else the last message, else the marks"),
    ("r", "ask for the list and the open request again"),
    ("/", "narrow the list to a text in id, name, subject or requester"),
    ("o", "open a request by its id, also one that does not wait any more"),
    ("s", "how many requests of each group stand where"),
    ("l", "lock: put the key away; its passphrase is asked for when it is needed again"),
    ("?", "this page"),
    ("q", "quit"),
)
