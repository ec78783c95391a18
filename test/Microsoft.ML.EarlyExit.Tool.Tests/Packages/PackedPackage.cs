using System.IO.Compression;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;
using System.Xml.Linq;

namespace Microsoft.ML.EarlyExit.Tool.Tests;

/// <summary>What is in a .nupkg or .snupkg.</summary>
internal sealed class PackedPackage : IDisposable
{
    private readonly ZipArchive _archive;
    private readonly XElement _metadata;

    public PackedPackage(string path)
    {
        _archive = ZipFile.OpenRead(path);
        XElement package = XDocument.Parse(ReadText(Files.Single(file => file.EndsWith(".nuspec", StringComparison.Ordinal)))).Root!;
        _metadata = package.Element(package.Name.Namespace + "metadata")!;
    }

    /// <summary>All files, those of the container format left out.</summary>
    public IEnumerable<string> Files => _archive.Entries.Select(entry => entry.FullName)
        .Where(name => name is not ("_rels/.rels" or "[Content_Types].xml") && !name.StartsWith("package/services/", StringComparison.Ordinal));

    /// <summary>An element of the nuspec; empty where it is missing.</summary>
    public string Field(string name) => Elements(_metadata, name).SingleOrDefault()?.Value ?? "";

    public string? Attribute(string element, string attribute) => Elements(_metadata, element).SingleOrDefault()?.Attribute(attribute)?.Value;

    /// <summary>What the package depends on, with the ranges of versions, by name.</summary>
    public IReadOnlyDictionary<string, string> Dependencies =>
        Elements(_metadata, "dependencies").Elements().Elements().ToDictionary(item => item.Attribute("id")!.Value, item => item.Attribute("version")!.Value);

    public IEnumerable<string> DependencyFrameworks =>
        Elements(_metadata, "dependencies").Elements().Select(group => group.Attribute("targetFramework")!.Value);

    public string[] PackageTypes => [.. Elements(_metadata, "packageTypes").Elements().Select(type => type.Attribute("name")!.Value)];

    public string ReadText(string file)
    {
        using var reader = new StreamReader(_archive.GetEntry(file)!.Open());
        return reader.ReadToEnd();
    }

    public byte[] ReadBytes(string file)
    {
        using var bytes = new MemoryStream();
        using Stream stream = _archive.GetEntry(file)!.Open();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }

    /// <summary>An assembly; one without metadata is native code.</summary>
    public PEReader OpenAssembly(string file) => new(new MemoryStream(ReadBytes(file)));

    /// <summary>What a portable pdb says it belongs to.</summary>
    public BlobContentId ReadPdbId(string file)
    {
        using var provider = MetadataReaderProvider.FromPortablePdbStream(new MemoryStream(ReadBytes(file)));
        return new BlobContentId(provider.GetMetadataReader().DebugMetadataHeader!.Id);
    }

    /// <summary>What an assembly says its pdb must be.</summary>
    public BlobContentId ReadDebugId(string file)
    {
        using PEReader assembly = OpenAssembly(file);
        DebugDirectoryEntry entry = assembly.ReadDebugDirectory().Single(entry => entry.IsPortableCodeView);
        return new BlobContentId(assembly.ReadCodeViewDebugDirectoryData(entry).Guid, entry.Stamp);
    }

    public void Dispose() => _archive.Dispose();

    private static IEnumerable<XElement> Elements(XElement parent, string name) => parent.Elements().Where(element => element.Name.LocalName == name);
}
