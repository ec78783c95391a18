namespace Microsoft.ML.EarlyExit.Tool.Completion;

/// <summary>The scripts that make shells ask the tool for candidates.</summary>
internal static class CompletionScripts
{
    /// <summary>The scripts by the shells' names.</summary>
    public static IReadOnlyList<(string Shell, string Script)> All { get; } =
    [
        ("bash", """
            # Completion of early-exit. Add to ~/.bashrc: eval "$(early-exit completion bash)"
            _early_exit() {
                local IFS=$'\n'
                COMPREPLY=($(early-exit "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null))
            }
            complete -o default -F _early_exit early-exit
            """),
        ("zsh", """
            # Completion of early-exit. Add to ~/.zshrc, after compinit: eval "$(early-exit completion zsh)"
            _early_exit() {
                local line="${(j: :)words[1,CURRENT]}"
                local -a candidates
                candidates=(${(f)"$(early-exit "[suggest:${#line}]" "${line}" 2>/dev/null)"})
                if (( ${#candidates} )); then
                    compadd -- "${candidates[@]}"
                else
                    _files
                fi
            }
            compdef _early_exit early-exit
            """),
        ("fish", """
            # Completion of early-exit. Save it: early-exit completion fish > ~/.config/fish/completions/early-exit.fish
            function __early_exit_candidates
                set -l line (commandline --current-process --cut-at-cursor | string collect)
                early-exit "[suggest:"(string length -- $line)"]" "$line" 2>/dev/null
            end
            complete --command early-exit --arguments '(__early_exit_candidates)'
            """),
        ("pwsh", """
            # Completion of early-exit. Add to $PROFILE: early-exit completion pwsh | Out-String | Invoke-Expression
            Register-ArgumentCompleter -Native -CommandName early-exit -ScriptBlock {
                param($word, $line, $place)
                early-exit "[suggest:$($place - $line.Extent.StartOffset)]" "$line" 2>$null | ForEach-Object {
                    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
                }
            }
            """),
    ];
}
