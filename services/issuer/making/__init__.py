"""Key pairs and PKCS#12 files made in processes of their own: `worker` is for the duty, `workshop` for those."""
