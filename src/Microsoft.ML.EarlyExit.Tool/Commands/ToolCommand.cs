namespace Microsoft.ML.EarlyExit.Tool.Commands;

/// <summary>A command with an example for its help.</summary>
internal abstract class ToolCommand(string name, string description, string example) : System.CommandLine.Command(name, description)
{
    /// <summary>A command line that works, without the tool's name.</summary>
    public string Example => example;
}
