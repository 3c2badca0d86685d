"""Storage, execution, the pool and authoring as passive objects: events and the time come in, effects come out."""
