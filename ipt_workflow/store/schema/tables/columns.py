"""What the tables share: names of constraints, columns with a fixed list of values, the roles."""

from typing import Any

import sqlalchemy as sa
from sqlmodel import SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
METADATA = SQLModel.metadata
METADATA.naming_convention = NAMING

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
WITH_OPERATOR = (*ROLES, "operator")  # who belongs to the installation, and sees no course


def one_of(name: str, values: tuple[str, ...]) -> Any:
    """A column that holds one of these values, as text; the database checks it."""
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)
