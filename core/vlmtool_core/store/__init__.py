"""The project database: tables, engines, migrations and one repository per topic.

Records go in and out; rows and ORM classes never leave this package.
"""
