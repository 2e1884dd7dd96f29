"""The store: SQLModel tables and their migrations, queries, and the committer, which writes each unit in one transaction.

Queries fetch and decide nothing. They are functions of an open connection; `Database` opens connections and runs them.
"""
