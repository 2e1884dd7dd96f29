"""Pages for people, made on the server and complete without scripts. They show and send what the verbs of `service` allow, and decide nothing."""
