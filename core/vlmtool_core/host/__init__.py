"""The engine host: models live in a process of their own, spoken to in JSON lines over stdio."""
