"""Pages of groups: the register, recording and signing a session, members who join late or leave."""
