"""The routes: one small file per row of the HTTP contract."""
