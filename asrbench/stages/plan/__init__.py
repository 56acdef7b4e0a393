"""Planning: what a study will cost in time, memory and disk, before it is launched."""
