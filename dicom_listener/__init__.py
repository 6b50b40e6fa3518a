"""The DICOM network: listener, durable spool, series assembly."""
