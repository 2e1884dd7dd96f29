"""Makes the tables, so many courses in their middle phase, and a token, which it prints."""

import hashlib
import secrets
import sys

from app import Course, Token, engine
from sqlmodel import Session, SQLModel

SQLModel.metadata.create_all(engine)
token = secrets.token_urlsafe(32)
with Session(engine) as db:
    db.add(Token(secret_hash=hashlib.sha256(token.encode()).hexdigest(), person="therapist-1"))
    db.add_all(
        Course(id=number, client_ref=f"BENCH-{number}", therapist="therapist-1", state="middle", version=20)
        for number in range(1, int(sys.argv[1]) + 1)
    )
    db.commit()
sys.stdout.write(token)
