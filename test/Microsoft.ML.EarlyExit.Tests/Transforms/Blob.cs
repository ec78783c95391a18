using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>A value of a type that is neither primitive nor a vector, as images are.</summary>
internal sealed class Blob
{
    public int Value { get; set; }

    /// <summary>Its type in data views.</summary>
    internal sealed class ViewType() : StructuredDataViewType(typeof(Blob))
    {
        public override bool Equals(DataViewType? other) => other is ViewType;

        public override int GetHashCode() => 0;
    }

    /// <summary>Gives a member that type.</summary>
    internal sealed class TypeAttribute : DataViewTypeAttribute
    {
        public override bool Equals(DataViewTypeAttribute? other) => other is TypeAttribute;

        public override int GetHashCode() => 0;

        public override void Register() => DataViewTypeManager.Register(new ViewType(), typeof(Blob), this);
    }
}
