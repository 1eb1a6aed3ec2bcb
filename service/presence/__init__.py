"""Who is online, and telling their friends (G4): docs/design/0007-presence.md has the rules and the reasons."""
