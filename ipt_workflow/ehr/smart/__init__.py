"""SMART: systems that read and write by themselves, and EHRs that open a course of a client in their context."""
