"""The athena engine: tags, releases, transforms, job reports, failures."""
