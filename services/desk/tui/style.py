"""How the desk looks: the terminal's own colours, and never a colour alone to say something."""

STYLE = """
Sheet, Told, PendingTable { scrollbar-size: 1 1; }
#top { height: auto; text-style: reverse; }
#summary { height: auto; }
PendingTable { height: auto; min-height: 4; max-height: 40%; }
PendingTable > .datatable--header { text-style: bold underline; background: ansi_default; color: ansi_default; }
PendingTable > .datatable--cursor { text-style: bold; background: ansi_default; color: ansi_default; }
PendingTable:focus > .datatable--cursor { text-style: reverse; background: ansi_default; color: ansi_default; }
Panes { height: 1fr; }
TabbedContent { height: 1fr; }
TabPane { padding: 0; height: 1fr; }
Sheet { height: 1fr; border-left: blank; }
Sheet:focus { border-left: heavy ansi_default; }
Sheet Static, Told Static { width: 1fr; height: auto; }
DownloadPane, RevocationPane { height: 1fr; }
Field { height: auto; }
Field > Static { width: 12; height: 1; }
Field.-here > Static { text-style: bold reverse; }
Field > Lines { width: 1fr; height: auto; min-height: 1; max-height: 6; background: ansi_default; }
Field > Input, Field > Select, Field > Checkbox { width: 1fr; }
Button, Button:hover { background: ansi_default; color: ansi_default; margin-right: 2; }
Button:focus { text-style: bold reverse; background: ansi_default; color: ansi_default; }
Told { height: auto; max-height: 8; border-top: solid; }
ModalScreen { background: ansi_default; align: center middle; }
.whole { width: 100%; height: 100%; }
.small { width: 60; height: auto; border: solid; padding: 1; }
.title { text-style: bold reverse; height: auto; }
.warning { text-style: bold; height: auto; border: heavy; }
.buttons { height: auto; }
"""
