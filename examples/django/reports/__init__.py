"""Reports: started by a button, made by a task, then downloaded."""
