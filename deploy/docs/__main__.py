"""`python -m deploy.docs`: writes every page that is made from the code."""

from deploy.docs.findings import PAGE, page

if __name__ == "__main__":
    PAGE.write_text(page())
