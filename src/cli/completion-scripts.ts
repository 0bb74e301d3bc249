/**
 * What bash and zsh run to complete: they hand the words so far to `pbsfs completion --candidates`, which answers a candidate a
 * line, or `:files` or `:directories` alone for what the shell knows better.
 */

export const shells = ['bash', 'zsh'] as const;
export type Shell = (typeof shells)[number];

// bash breaks words at colons, which times have; so the words come from the line itself, and candidates lose what is before the last break.
const bash = `# bash completion for pbsfs: source <(pbsfs completion bash)
_pbsfs() {
  local IFS=$' \\t' line=\${COMP_LINE:0:COMP_POINT} words current candidate
  read -a words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[\${#words[@]}-1]}
  local candidates
  mapfile -t candidates < <("\${words[0]}" completion --candidates -- "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  case \${candidates[0]-} in
    :files) compopt -o default -o filenames; return ;;
    :directories) compopt -o dirnames -o filenames; return ;;
  esac
  local before=\${current%"\${current##*[:=]}"}
  for candidate in "\${candidates[@]}"; do
    [[ $candidate == */ ]] && compopt -o nospace
    candidate=\${candidate#"$before"}
    COMPREPLY+=("$(printf %q "$candidate")")
  done
}
complete -F _pbsfs pbsfs
`;

const zsh = `#compdef pbsfs
# zsh completion for pbsfs: source <(pbsfs completion zsh), or a file _pbsfs in a directory of $fpath
_pbsfs() {
  local -a candidates open closed
  candidates=("\${(@f)$("\${(Q)words[1]}" completion --candidates -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  case $candidates[1] in
    :files) _files; return ;;
    :directories) _files -/; return ;;
  esac
  open=(\${(M)candidates:#*/})
  closed=(\${candidates:#*/})
  (( $#open )) && compadd -S '' -a open
  (( $#closed )) && compadd -a closed
}
if [[ $funcstack[1] == _pbsfs ]]; then _pbsfs "$@"; else compdef _pbsfs pbsfs; fi
`;

export const completionScripts: Readonly<Record<Shell, string>> = { bash, zsh };
