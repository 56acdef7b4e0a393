from asrbench.cli import app

app()
