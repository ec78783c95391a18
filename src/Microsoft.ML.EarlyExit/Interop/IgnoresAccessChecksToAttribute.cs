namespace System.Runtime.CompilerServices;

/// <summary>Lets this assembly call the internal members of another; the runtime knows the attribute by its name, the framework does not declare
/// it.</summary>
[AttributeUsage(AttributeTargets.Assembly, AllowMultiple = true)]
internal sealed class IgnoresAccessChecksToAttribute(string assemblyName) : Attribute
{
    public string AssemblyName { get; } = assemblyName;
}
