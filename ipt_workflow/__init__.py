"""Runs courses of Interpersonal Psychotherapy as explicit, enforced and audited state machines.

The rooms, from the ground up. A room uses only rooms above it in this list:

errors       everything that can go wrong, as one tree; refusals
runtime      what every process needs: settings, clock, logs, metrics, event loop, garbage collection
values       single values: their types, faults in words, canonical bytes
protocols    what a protocol file says. Reads files under config/, knows no clock
course       what is known of a course and may happen to it: payloads, effects, rules, fold. Pure
machine      the front door of the domain: decide, fire, preview, options. Pure. The library `transitions` enforces
journal      the append-only record: entries, chain, replay. Pure
groups       clients who meet: the group as the fold of its log. Pure
access       who is calling, and what they may do. Pure
gate         whether a protocol may be put in force; replay of what was recorded. Pure
store        tables, statements, the committer. The only room that knows SQL; decides nothing, reads no clock
service      the verbs by subject; `decisions` is the one way in. Knows no HTTP and no SQL
ehr          how an EHR meets us: notices in, deliveries out, the FHIR facade
api          HTTP and nothing else
web          pages for people, without scripts
cli          the command line

Pure rooms do no I/O, read no clock and draw no random numbers. pyproject.toml has the contract that checks this.
"""

__version__ = "0.1.0"
__released__ = "2026-11-30"  # the day of this version; it dates the CapabilityStatement
