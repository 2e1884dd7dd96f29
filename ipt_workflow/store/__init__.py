"""What is kept: SQLModel tables, the engine, one transaction a unit, queries, migrations.

Queries fetch and judge nothing. Every function here takes an open connection; `Database` opens them.
"""
