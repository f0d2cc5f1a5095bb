"""What a sweep may look for: the measures of a trial, by name."""

#: Each measure with what it is. All are of round 0 on dev; no trial reads test.
KNOWN = {
    "similarity": "mean similarity, as the gate sees it",
    "precision": "mean precision, as the gate sees it",
    "usd": "dollars of this machine for 1,000 requests of K answers each",
    "seconds": "seconds of this machine for 1,000 requests of K answers each",
}

#: The configuration's `objective` in the same words.
OWN = {"dev/similarity_mean": "similarity", "dev/precision_mean": "precision"}
