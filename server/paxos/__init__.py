"""Multi-Paxos with leader leases as a pure state machine."""
