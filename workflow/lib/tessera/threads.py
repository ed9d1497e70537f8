"""How threads that compute together wait for each other, for all processes of the workflow."""

WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}
"""Variables of the environment, read when OpenMP starts: a thread that waits looks again and again
for about a quarter of a millisecond (GNU; others not at all), then sleeps. Sleeping at once makes
small batches a quarter slower; never sleeping takes the time of other processes."""
