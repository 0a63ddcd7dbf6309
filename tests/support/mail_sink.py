"""A mail server for a booted host, which prints each mail: `python3 mail_sink.py PORT`.

Python's own is gone since 3.12.
"""

from __future__ import annotations

import socketserver
import sys


class Mail(socketserver.StreamRequestHandler):
    """One connection: every command is right, and the text of every mail is printed."""

    def handle(self) -> None:
        """Answer until the sender has ended."""
        self.say("220 here")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"DATA":
                self.say("354 begin")
                self.text()
            elif word == b"QUIT":
                self.say("221 end")
                return
            else:
                self.say("250 right")

    def text(self) -> None:
        """Print a mail, up to the line with a dot alone."""
        for line in self.rfile:
            if line.rstrip() == b".":
                self.say("250 taken")
                return
            print(line.decode(errors="replace").rstrip(), flush=True)

    def say(self, answer: str) -> None:
        """Send one line."""
        self.wfile.write(f"{answer}\r\n".encode())


if __name__ == "__main__":
    socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Mail).serve_forever()
