"""Bytes in, Document out: kind told by content, one loader for each, native parsers kept apart.

``dispatch.load_document`` reads in this process, ``worker.LoaderWorker`` in another that may crash.
"""
