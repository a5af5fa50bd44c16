#compdef sandboxctl
# SPDX-License-Identifier: LGPL-2.1-or-later
# zsh completion of sandboxctl(1); made by its build out of the tables of the program.

@TABLES@

# Answers to "what is there" come from the server that sandboxctl finds by itself, soon or not at all.
_sandboxctl_ask() { timeout 3 sandboxctl --quiet "$@" 2>/dev/null </dev/null }

_sandboxctl_offer_none() { _message 'no completion' }
_sandboxctl_offer_sessions() {
    local -a sessions=(${(f)"$(_sandboxctl_ask list)"})
    _describe -t sessions session sessions
}
_sandboxctl_offer_workers() {
    local -a workers=(${(f)"$(_sandboxctl_ask worker list)"})
    _describe -t workers worker workers
}
_sandboxctl_offer_images() {
    local -a images=(${(f)"$(_sandboxctl_ask image list)"})
    compadd -a images
}
_sandboxctl_offer_snapshots() {
    local -a snapshots=(${(f)"$(_sandboxctl_ask snapshot list)"})
    compadd -a snapshots
}
_sandboxctl_offer_signals() { _signals }
_sandboxctl_offer_files() { _files }
_sandboxctl_offer_copies() {
    local -a sessions=(${(f)"$(_sandboxctl_ask list)"})
    _files
    compadd -S : -a sessions
}
# WORD: what may follow the first word of a command.
_sandboxctl_offer_second() {
    local -a found
    local line
    for line in ${(f)"$(_sandboxctl_table_commands)"}; do
        [[ $line != "$1 "* ]] || found+=("${line#$1 }")
    done
    _describe -t commands command found
}
_sandboxctl_offer_commands() {
    local -a commands
    local line
    for line in ${(f)"$(_sandboxctl_table_commands)"}; do
        if [[ ${line%%:*} == *' '* ]]; then
            commands+=("${line%% *}")
        else
            commands+=("$line")
        fi
    done
    commands=(${(u)commands})
    _describe -t commands command commands
}

_sandboxctl() {
    local command= group= word name letter offer description line
    local -a offers rows found
    local -i place=1 i

    for ((i = 2; i < CURRENT; i++)); do
        word=$words[i]
        case $word in
            --) return 1 ;;
            -?*)
                rows=(${(f)"$(_sandboxctl_table_options "$command"; _sandboxctl_table_options '')"})
                offer=
                for line in $rows; do
                    IFS=: read -r name letter offer description <<<$line
                    [[ $word != $name && $word != $letter ]] || break
                    offer=
                done
                [[ -n $offer ]] || continue
                if ((++i >= CURRENT)); then
                    _sandboxctl_offer_$offer
                    return
                fi ;;
            *)
                if [[ -n $command ]] && ((place == 1)) && [[ $(_sandboxctl_table_commands) == *$'\n'"$command $word:"* ]]; then
                    command+=" $word"
                elif [[ -n $command ]]; then
                    ((place++))
                elif [[ $'\n'$(_sandboxctl_table_commands) == *$'\n'"$group$word:"* ]]; then
                    command=$group$word
                else
                    group="$word "
                fi ;;
        esac
    done

    if [[ $words[CURRENT] == -* ]]; then
        for line in ${(f)"$(_sandboxctl_table_options "$command"; _sandboxctl_table_options '')"}; do
            IFS=: read -r name letter offer description <<<$line
            found+=("$name:$description")
        done
        _describe -o -t options option found
    elif [[ -n $command ]]; then
        offers=(${(f)"$(_sandboxctl_table_arguments "$command")"})
        offer=$offers[place]
        if ((place > $#offers)) && [[ $offers[-1] == *... ]]; then
            offer=$offers[-1]
        fi
        [[ -z $offer ]] || _sandboxctl_offer_${offer%...}
        ((place > 1)) || _sandboxctl_offer_second $command
    elif [[ -n $group ]]; then
        _sandboxctl_offer_second ${group% }
    else
        _sandboxctl_offer_commands
    fi
}

_sandboxctl "$@"
