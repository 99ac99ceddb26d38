"""The plugin contract and the manager that keeps a broken plugin from hurting anyone."""
