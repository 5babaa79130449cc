module client

go 1.23

require (
	github.com/GIT_USER_ID/GIT_REPO_ID v0.0.0
	gopkg.in/validator.v2 v2.0.1
)

replace (
	github.com/GIT_USER_ID/GIT_REPO_ID => ../
	gopkg.in/validator.v2 => ./validator
)
