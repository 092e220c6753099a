complete -W 'apply get describe events delete token cg vnet pip rg -f -g -o --no-wait --subscription' netctl
