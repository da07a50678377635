"""Why a model says so: maps over an image, what they rest on, and how far they can be believed."""
