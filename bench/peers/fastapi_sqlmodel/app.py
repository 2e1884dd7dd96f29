"""A course's states with FastAPI, SQLModel and transitions, and an audit row for every transition."""

import datetime as dt
import hashlib
import os
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from sqlalchemy import JSON, Column, DateTime
from sqlmodel import Field, Session, SQLModel, create_engine, select
from transitions import Machine, MachineError

STATES = ["referred", "initial", "middle", "final", "completed", "ended_early"]
TRANSITIONS = [
    {"trigger": "start", "source": "referred", "dest": "initial"},
    {"trigger": "begin_middle", "source": "initial", "dest": "middle"},
    {"trigger": "begin_final", "source": "middle", "dest": "final"},
    {"trigger": "complete", "source": "final", "dest": "completed"},
    {"trigger": "end_early", "source": STATES[:4], "dest": "ended_early"},
    {"trigger": "note", "source": "*", "dest": None},
]
engine = create_engine(
    "postgresql+psycopg://",
    connect_args={"host": os.environ["PEER_SOCKET"], "user": os.environ["PEER_USER"], "dbname": os.environ["PEER_DATABASE"]},
    pool_size=20,
    max_overflow=20,
)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def time_column(**more: Any) -> Any:
    return Field(default_factory=now, sa_column=Column(DateTime(timezone=True), nullable=False, **more))


class Token(SQLModel, table=True):
    secret_hash: str = Field(primary_key=True)
    person: str


class Course(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    client_ref: str
    therapist: str = Field(index=True)
    state: str = "referred"
    version: int = 0
    updated_at: dt.datetime = time_column()


class Transition(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    course_id: int = Field(foreign_key="course.id", index=True)
    trigger: str
    from_state: str
    to_state: str
    actor: str
    data: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    recorded_at: dt.datetime = time_column(index=True)


class Command(BaseModel):
    trigger: Literal["start", "begin_middle", "begin_final", "complete", "end_early", "note"]
    data: dict[str, Any] = {}


class Fired(BaseModel):
    entry: Transition
    course: Course


class CourseModel:
    """What the machine moves."""

    state: str


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


Db = Annotated[Session, Depends(session)]


def person(db: Db, header: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> str:
    token = db.get(Token, hashlib.sha256(header.credentials.encode()).hexdigest())
    if token is None:
        raise HTTPException(401, "A valid token is needed.")
    return token.person


app = FastAPI()


@app.get("/health")
def health(db: Db) -> dict[str, bool]:
    db.exec(select(1))
    return {"ok": True}


@app.post("/courses/{course_id}/transitions", status_code=201)
def fire(course_id: int, command: Command, db: Db, actor: Annotated[str, Depends(person)]) -> Fired:
    course = db.exec(select(Course).where(Course.id == course_id, Course.therapist == actor).with_for_update()).first()
    if course is None:
        raise HTTPException(404, "There is no such course.")
    source, model = course.state, CourseModel()
    Machine(model=model, states=STATES, transitions=TRANSITIONS, initial=source, auto_transitions=False)
    try:
        model.trigger(command.trigger)
    except MachineError as refused:
        raise HTTPException(409, str(refused)) from refused
    course.state, course.version, course.updated_at = model.state, course.version + 1, now()
    entry = Transition(
        course_id=course_id, trigger=command.trigger, from_state=source, to_state=model.state, actor=actor, data=command.data
    )
    db.add(entry)
    db.commit()
    db.refresh(entry)
    db.refresh(course)
    return Fired(entry=entry, course=course)
