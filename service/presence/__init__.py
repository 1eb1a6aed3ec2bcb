"""Who is online, and notifying their friends; docs/design/0007-presence.md has the rules and the reasons."""
